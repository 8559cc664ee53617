"""Communication: what members, representatives, managers and providers are told."""
