"""Names of the TU Dortmund collection (https://chrsmrrs.github.io/datasets/docs/datasets)."""

_LIST = """
AIDS BZR BZR_MD COX2 COX2_MD DHFR DHFR_MD ER_MD FRANKENSTEIN MCF-7 MCF-7H MOLT-4 MOLT-4H
Mutagenicity MUTAG NCI1 NCI109 NCI-H23 NCI-H23H OVCAR-8 OVCAR-8H P388 P388H PC-3 PC-3H PTC_FM PTC_FR
PTC_MM PTC_MR SF-295 SF-295H SN12C SN12CH SW-620 SW-620H UACC257 UACC257H Yeast YeastH DD ENZYMES
KKI OHSU Peking_1 PROTEINS PROTEINS_full COIL-DEL COIL-RAG Cuneiform Fingerprint FIRSTMM_DB MSRC_9
MSRC_21 MSRC_21C Letter-high Letter-low Letter-med COLLAB dblp_ct1 dblp_ct2 DBLP_v1 deezer_ego_nets
facebook_ct1 facebook_ct2 github_stargazers highschool_ct1 highschool_ct2 IMDB-BINARY IMDB-MULTI
infectious_ct1 infectious_ct2 mit_ct1 mit_ct2 REDDIT-BINARY REDDIT-MULTI-5K REDDIT-MULTI-12K
reddit_threads tumblr_ct1 tumblr_ct2 twitch_egos TWITTER-Real-Graph-Partial COLORS-3 SYNTHETIC
SYNTHETICnew Synthie TRIANGLES QM9 ZINC_full ZINC_test ZINC_train ZINC_val alchemy_full aspirin
benzene ethanol malonaldehyde naphthalene salicylic_acid toluene uracil Tox21_AhR_training
Tox21_AR_training Tox21_AR-LBD_training Tox21_ARE_training Tox21_aromatase_training
Tox21_ATAD5_training Tox21_ER_training Tox21_ER_LBD_training Tox21_HSE_training Tox21_MMP_training
Tox21_p53_training Tox21_PPAR-gamma_training
"""
TU_NAMES = tuple(_LIST.split())
