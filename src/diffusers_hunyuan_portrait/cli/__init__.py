"""The command `hunyuan-portrait`: one file a command, each of which parses, calls and reports."""
