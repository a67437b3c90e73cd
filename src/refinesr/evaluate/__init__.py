"""Methods measured as papers measure: results made, written, compared, and put into one table.

protocols   how papers measure: resizer, crop, channels, rounding, their own rows
depths      in 8 bits, or as files hold them
bands       numbers of all bands and of each
cuts        what part of a picture is taken
pairs       good pictures and the poor ones that belong to them
makers      what makes results: models, interpolation, folders of pictures
measuring   numbers of a single picture
sets        distances between sets of pictures
store       results in a folder, made once
running     every method on every picture
report      means, intervals and differences; JSON, CSV, Markdown
"""
