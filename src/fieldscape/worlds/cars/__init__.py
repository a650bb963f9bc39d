"""Cars, and any meshes, photographed from all sides: drawn bodies, files of meshes, and the SRN layout."""
