// Package sweep tries many settings of one experiment and ranks them.
//
// A sweep is a folder:
//
//	sweep.yaml       the plan: the configuration that all trials share, and the trials
//	trials/001/      a trial: an ordinary run, for bitnet plot, status and chat
//	trials/001.json  how it ended, once it did
//	best.yaml        the configuration of the best settings so far
//	results.json     the table of results
//	sweep.svg        the chart of results
//
// What is done is read from the trials themselves, so a sweep that was stopped at
// any moment continues, and several processes that share the folder share the
// work: each takes the next trial that no other has claimed with a file lock.
//
// With halving, all trials train a part of their steps; the better ones, one in
// every Halve, resume and train Halve times as far; and so on until the last ones
// finish (successive halving: Jamieson and Talwalkar, arXiv 1502.07943). A trial
// keeps its schedule of all steps, so values of one round compare.
package sweep
