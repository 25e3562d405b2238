// Package oracle proves that nothing is lost: it puts events into the pipeline, lets everything
// around it fail, and counts.
//
// An issuer sends events and records in a ledger each one that was accepted, with the bytes, the
// context and the integrations that Segment must receive. Events come in as messages that are sent
// by hand, through the ingest endpoint, and through publishers that are killed. The ledger also
// records each event that reaches the Segment emulator or the dead-letter queue. When the faults
// have stopped, the two must agree: each accepted event was delivered or is a dead letter with the
// right reason, byte for byte; the archive has each of them with its outcome; no other event came
// out; duplicates have the same messageId; and the pipeline still delivers new events.
//
// A seed draws the faults. In virtual time everything is one process in a testing/synctest bubble,
// with the numbers of infra/topology, so that a day of outage takes a second. In real time the
// built binaries are killed for as long as a flag says. A seed that fails is printed with its
// faults and replayed with -seed. The replay draws the same faults, but the scheduler orders the
// goroutines, so that a rare failure may need several replays.
//
// Package mutants says which bugs the oracle finds.
//
// It holds tests only.
package oracle
