"""Questions about nets of convolutions, each answered by runs of nets that differ in one thing."""
