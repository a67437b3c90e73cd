"""Methods measured as papers measure: results made, written, compared, and put into one table.

protocols                 how papers measure: resizer, crop, channels, rounding, their own rows
cuts  depths  pairs       what part of a picture, in 8 bits or as files hold it, and the poor one beside it
makers  detour  foreign   what makes results: models, interpolation, folders, other people's networks
measuring  bands  weights  labels    numbers of a single picture, and metrics that need files
sets                      distances between sets of pictures
aims  estimates           which numbers are better, and how sure a mean is
store  kept  running      every method on every picture, made once and kept in a folder
report  published         means, intervals and differences; JSON, CSV, Markdown
page  document  gallery  crops    the same for the browser, and its pictures
sketches  plots  axes  placing  geometry    its plots, and where their labels go
reading  alike  comparing  swaps  sheet     two methods of reports that were written
questions  study  answers                   people who choose between the truth and a method's picture
"""
