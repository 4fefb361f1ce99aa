"""``mynapoint workpapers``: what an audit rests on, in one file with the digests of all.

``papers`` makes them in a folder; ``archive`` packs the folder, with its list of digests.
"""
