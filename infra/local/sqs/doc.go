// Package sqs is an Amazon SQS endpoint for one machine: standard queues over
// HTTP in the AWS JSON 1.0 protocol, close enough to the service that the AWS
// SDKs and the aws command line can't tell, and the same queues as Go values
// for pollers in the same process.
//
// It exists so that the pipeline can run whole, with production's numbers,
// where there is no AWS. Two things set it apart from an emulator in memory:
//
//   - What is accepted is on disk before the answer. A send, a queue and its
//     attributes, and a move task are answered after the fsync; concurrent
//     sends share one. Deletes and changes of visibility are written without
//     waiting for the disk: they are synced within a second. A process that is
//     killed, or a machine without power, may lose those of its last second,
//     which only delivers messages again, as a standard queue may at any time.
//   - The backlog is bounded by the disk and not by memory. In memory are the
//     counters, and the messages in flight without their bodies: at most
//     120,000 a queue, as in SQS. The space of deleted messages is given back
//     within seconds, so that a disk that was full takes sends again. What an
//     empty server keeps is 64 MB of ballast and 45 MB of log, used again.
//
// A restart hands out at once every message that was in flight, since the
// consumers of an ended process are taken for dead.
//
// # Storage
//
// A Pebble store holds for every message
//
//	m <queue> <sent> <seq>              the message: written once, deleted once
//	v <queue> <visible at> <sent> <seq> receive count, first receive, events
//	s <queue> <seq>                     where v is, once a message came back
//
// so that "which message is next" is a walk over v in the order of time, up to
// now; what lies after now is delayed. To receive a message writes nothing: it
// goes into the table in memory, which the walk skips. A cursor remembers how
// far the walk has come, so that the tombstones of deleted messages are passed
// once. Only when a message comes back is its v written anew, with its count.
// A message is handed out after its sender's fsync, never before.
//
// # Differences from SQS
//
// FIFO queues, permissions and server-side encryption are not there. A deleted
// queue can be created again at once (SQS: after 60 s), counts are exact, and a
// short poll sees every message. Signatures are not checked: bind to loopback.
package sqs
