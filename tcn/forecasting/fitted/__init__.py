"""Windows to a trained net, and a net's answers to forecasts.

settings, setting_groups           all that can be set before there is data
net, sizes, backbones              what the past says, then one answer for every step
training, training_data            loss, optimizer and the run; windows in batches
fitting, trained                   from settings and a panel to what a fit leaves behind
prediction, predictor              forecasts of batches, with intervals, in units of the data
out_of_memory                      batches in halves
folder, schema                     saved and loaded
"""
