"""Faces as other people's networks see them: MediaPipe's mesh of points, and dlib's embedding of identity."""

from functools import cache

import cv2
import dlib
import numpy as np
from ai_edge_litert.interpreter import Interpreter
from real_parts import part

from diffusers_hunyuan_portrait.face import Face

MESH_SIDE = 192  # pixels, of what the mesh is read from
MESH_MARGIN = 1.5  # of the face's box, as MediaPipe's own graph cuts it
# The mesh's points about each eye, at the nose's tip, and at the corners of the mouth, from image-left to -right.
EYES, NOSE, MOUTH = ([33, 133, 159, 145], [362, 263, 386, 374]), [1, 4], (61, 291)
SAME_PERSON = 0.6  # dlib's own threshold for the distance of two embeddings


def mesh_points(picture: np.ndarray, face: Face) -> np.ndarray:
    """The five points of a face in the contract's order, (5, 2), as MediaPipe's mesh has them.

    The mesh is told no more than where about the face is, and how it is turned in the picture.
    """
    centre = (face.box[:2] + face.box[2:]) / 2
    scale = MESH_MARGIN * (face.box[2:] - face.box[:2]).max() / MESH_SIDE
    across = face.landmarks[1] - face.landmarks[0]
    cosine, sine = scale * across / np.linalg.norm(across)
    turn = np.array([[cosine, -sine], [sine, cosine]])
    to_picture = np.column_stack([turn, centre - turn @ np.full(2, MESH_SIDE / 2)])
    crop = cv2.warpAffine(
        picture, to_picture, (MESH_SIDE, MESH_SIDE), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    )
    network, taken, given = _mesh()
    network.set_tensor(taken, crop[None].astype(np.float32) / 255)
    network.invoke()
    mesh = network.get_tensor(given).reshape(-1, 3)[:, :2] @ turn.T + to_picture[:, 2]
    eyes, nose = [mesh[list(eye)].mean(axis=0) for eye in EYES], mesh[NOSE].mean(axis=0)
    return np.stack([*eyes, nose, *mesh[list(MOUTH)]])


def embed(picture: np.ndarray, face: Face) -> np.ndarray:
    """dlib's embedding of a face, (128,); those of one person are less than `SAME_PERSON` apart."""
    points, embedding = _dlib()
    box = dlib.rectangle(*(int(edge) for edge in face.box.round()))
    picture = np.ascontiguousarray(picture)
    return np.array(embedding.compute_face_descriptor(picture, points(picture, box)))


@cache
def _mesh() -> tuple[Interpreter, int, int]:
    network = Interpreter(str(part("mediapipe", "face_landmark.tflite")), num_threads=1)
    network.allocate_tensors()
    return network, network.get_input_details()[0]["index"], network.get_output_details()[0]["index"]


@cache
def _dlib() -> tuple:
    folder = "face_recognition_models"
    return (
        dlib.shape_predictor(str(part(folder, "shape_predictor_5_face_landmarks.dat"))),
        dlib.face_recognition_model_v1(str(part(folder, "dlib_face_recognition_resnet_model_v1.dat"))),
    )
