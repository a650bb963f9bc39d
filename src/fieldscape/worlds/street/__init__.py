"""A street of simple shapes: depth videos of things that stand, drive, walk, fly and carry each other, with all truth.

``make`` writes them; ``scenes`` draws what there is, ``motions`` says where it is at any time, ``render`` what a camera
sees of it. The files are written by ``fieldscape.worlds.layouts``; ``layouts.own`` describes ours.
"""
