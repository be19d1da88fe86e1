"""C templates of the kernels, each with the reasons for its shape."""
