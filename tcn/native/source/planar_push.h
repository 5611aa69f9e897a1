// A push of rows in planar form.

#pragma once

#include "stream_push.h"

// Brings the rows of a push into the form that suits it, and says whether that is the planar one.
bool choose_planar(Rows& rows, const Push& push);

// Advances rows that are planar; there is a workspace for each of the threads.
void advance_planar(Rows& rows, const Push& push, int threads);
