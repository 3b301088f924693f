// The parts of the program, each in a file of its name.

#ifndef STN_TF_TESTS_PARTS_H_
#define STN_TF_TESTS_PARTS_H_

// Every combination of what a problem can be, for several numbers of channels.
void combinations();

// Points exactly on pixels, between two, on borders, and upright windows of exact numbers.
void exact();

// Points that no user means, images of one pixel, and nothing at all.
void extremes();

// Axes and images so long that numbers of 32 bits would not do.
void large();

// Equal results for any number of threads.
void threads();

// Several callers at once, and a forked process.
void callers();

#endif  // STN_TF_TESTS_PARTS_H_
