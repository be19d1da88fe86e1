"""The compiler: ONNX -> graph -> passes -> plan -> C -> library."""
