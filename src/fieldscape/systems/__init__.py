"""The five systems, each a folder of its own. They never import each other; `opening` is the door back in."""
