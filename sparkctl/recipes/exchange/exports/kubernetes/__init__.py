"""Objects of Kubernetes."""
