"""Suggestions for unknown names."""

from gradformer_dgl.support.did_you_mean import suggestion


def test_only_a_similar_name_is_suggested():
    assert suggestion("gni", ["gin", "gcn"]) == "; did you mean 'gin'?"
    assert suggestion("x", ["gin", "gcn"]) == ""
