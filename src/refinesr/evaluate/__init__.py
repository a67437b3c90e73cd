"""Evaluation of super-resolution methods by the protocols of papers.

protocols                          resizer, crop, channels and rounding of each paper, and its published rows
cropping, depths, pairs            the evaluated part of an image, its bit depth, and the low-resolution input
upscalers, trained_size, external  sources of results: models, interpolation, folders, other networks
image_metrics, bands, pretrained_metrics, labels    metrics of single images
set_metrics                        distances between sets of images (FID, KID, IS)
aims, estimates                    which values are better; means and their confidence intervals
evaluation, evaluation_folder, store    runs every method on every image and stores the results
report, published                  means, intervals and differences as JSON, CSV and Markdown
page, document, gallery, crops     the HTML page and its image crops
report_plots, plots, axes, label_layout, geometry   the plots of the page and their labels
saved_report, comparable, comparison, sign_flip, permutation, difference_sheet   comparison of two methods
study, questions, answers          user studies: subjects choose between the original and a result
"""
