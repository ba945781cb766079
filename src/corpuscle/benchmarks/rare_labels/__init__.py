"""Does adding synthetic samples of a rare label help to find it in studies not seen?"""
