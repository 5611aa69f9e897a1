"""Windows to a trained net, and a net's answers to forecasts.

settings                  all that can be set before there is data
net                       the net: what the past says, then one answer for every step
training, training_data   loss, optimizer and the run; windows in batches
fitting                   from settings and a panel to what a fit leaves behind
trained, prediction       what that is, and forecasts from it
out_of_memory             batches in halves
folder, schema            saved and loaded
"""
