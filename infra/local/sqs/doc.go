// Package sqs is the SQS emulator: standard queues on one machine, over HTTP in the AWS JSON 1.0
// protocol for the AWS SDKs and the aws command line, and as Go values for pollers in the same
// process.
//
// It exists so that the whole pipeline can run with production's numbers where there is no AWS. Two
// things distinguish it from an emulator in memory:
//
//   - What is accepted is on disk before the answer. A send, a change of a queue or its attributes,
//     and a move task are answered after the fsync; concurrent sends share one. Deletes and
//     visibility changes do not wait for the disk: they are written at once and synced within a
//     second. If the machine loses power, those of the last second may be lost, and messages are
//     delivered again, as a standard queue may do at any time.
//   - The content of a backlog is on disk and not in memory, which has about 125 bytes of each
//     message. The space of deleted messages is reclaimed within seconds, so that a disk that was
//     full accepts sends again. An empty server takes up 16 MB of ballast.
//
// After a restart every message that was in flight is visible at once, because its consumer is
// assumed to have ended. Damage on disk is found by checksums, counted and logged, and what is
// readable is delivered: see Health, Check and package store, which is the storage.
//
// Messages with a MessageGroupId are handed out as SQS's fair queues do: a group that floods a queue
// waits while others have messages. See Fairness, which is an assumption.
//
// Beyond SQS, Queue.Follow and Queue.Look show what a queue has without receiving it.
//
// # Not emulated
//
// FIFO queues, and what permissions and server-side encryption do: policies and keys are stored and
// returned. A deleted queue can be created again at once (SQS: after 60 s), counts are exact, and a
// short poll sees every message. Signatures are not checked: listen on loopback only.
package sqs
