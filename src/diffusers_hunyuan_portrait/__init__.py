"""HunyuanPortrait for diffusers: animate a portrait with the face in a driving clip."""
