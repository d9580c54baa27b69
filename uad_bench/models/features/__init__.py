"""Networks and memories over the features of a pretrained network."""
