// Package api measures what the API pays: the call that hands an event over, in each of the ways
// that an API written in Go has, while the queue is well, slow and away. Package limit beside it
// has the other end of the scale.
//
// It exists because the outage that Spillway was made for was one of the API, not of the worker:
// the queue was away, calls waited, memory grew, and events were lost that nobody counted. So
// beside the latency there are the errors, the calls that waited at the same time, the growth of
// the process, and how many events that were accepted have not arrived after the queue came back.
//
// Each way is a process of its own that calls at a fixed rate, whether or not earlier calls have
// returned, and takes the time of each from when it was due: a generator that waits for answers
// would count a stall once and not for every call that falls into it. Percentiles are exact: of the
// sorted latencies, by the nearest rank.
//
// It reads /proc and needs Linux.
package api
