// Package sqs is the SQS emulator: standard queues on one machine, over HTTP in the AWS JSON 1.0
// protocol for the AWS SDKs and the aws command line, and as Go values for pollers in the same
// process.
//
// It exists so that the whole pipeline can run with production's numbers where there is no AWS. Two
// things distinguish it from an emulator in memory:
//
//   - What is accepted is on disk before the answer. A send, a change of a queue or its attributes,
//     and a move task are answered after the fsync; concurrent sends share one. Deletes and
//     visibility changes do not wait for the disk: they are synced within a second. If the process
//     is killed or the machine loses power, those of the last second may be lost, and messages are
//     delivered again, as a standard queue may do at any time.
//   - The backlog is bounded by the disk and not by memory. Memory has the counters, and the messages
//     in flight without their bodies: at most 120,000 a queue, as in SQS. The space of deleted
//     messages is reclaimed within seconds, so that a disk that was full accepts sends again. An
//     empty server takes up 64 MB of ballast and 45 MB of log.
//
// After a restart every message that was in flight is visible at once, because its consumer is
// assumed to have ended.
//
// # Storage
//
// A Pebble store has for every message
//
//	m <queue> <sent> <seq>              the message: written once, deleted once
//	v <queue> <visible at> <sent> <seq> receive count, first receive, events, receives before a
//	                                    move to this queue
//	s <queue> <seq>                     where v is, after the first return to the queue
//
// so that a walk over v in the order of time, up to now, finds the next message; later ones are
// delayed. A receive writes nothing: it puts the message into the table of messages in flight,
// which the walk skips. A cursor marks how far the walk has come, so that it passes the tombstones
// of deleted messages only once. When a message becomes visible again, its v is rewritten with its
// receive count, in the same place: it stands before newer messages, and because the cursor is past
// it, memory has it until it is received. A message is never received before its sender's fsync.
//
// A key q <name> is a queue and t <id> a move task, both as JSON. Integers in keys are big endian,
// times are Unix milliseconds. Every version reads the directories of earlier versions.
//
// # Not emulated
//
// FIFO queues, permissions and server-side encryption. A deleted queue can be created again at once
// (SQS: after 60 s), counts are exact, and a short poll sees every message. Signatures are not
// checked: listen on loopback only.
package sqs
