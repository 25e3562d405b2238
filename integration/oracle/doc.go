// Package oracle proves that nothing is lost: it puts events into the pipeline, lets everything
// around it fail, and counts.
//
// An issuer writes down every event that was accepted, with the bytes in which Segment is to get
// it. The Segment emulator and the dead-letter queue write down every event that came out. When the
// faults stop, both must be equal: each accepted event has been delivered or is a dead letter with
// its reason, byte for byte; nothing came out that nobody issued; what came twice came with the
// same messageId; and a fresh event still flows.
//
// The faults are drawn by a seed. In virtual time everything is one process in a testing/synctest
// bubble, with the numbers of infra/topology, so that a day of outage takes a second; in real time
// the built binaries are killed for as long as a flag says. A seed that fails is printed with its
// faults and replayed with -seed. (It draws the same faults then; in which order goroutines run is
// the scheduler's, so a rare failure may need some replays.)
//
// It holds tests only.
package oracle
