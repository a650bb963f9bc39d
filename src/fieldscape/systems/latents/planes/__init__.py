"""Objects as tri-planes, in colours or in the latent space of an autoencoder, sharing what they have in common.

A scene is three planes of features (xy, xz, yz). A point's features are the sum of what the planes hold where it is
projected to; a small network, the same for all scenes, makes colour and density of them (``lookup``, ``field``). In the
latent space of an autoencoder one ray stands for a whole patch of pixels, so a picture takes few rays
(``autoencoder``). Part of the planes is a mixture of planes that all scenes share, and only the rest is a scene's own
(``mixing``). The method is that of 3Da-AE (Schnepf et al., "Exploring 3D-aware latent spaces for efficiently learning
numerous scenes", 2024); ``config.PRESETS`` names it, its relatives, and our own settings.

Read ``stages`` (what is shared is learned), then ``add`` (one more object), then ``opening`` (looking at it).
"""
