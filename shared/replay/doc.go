// Package replay sends events of the archive again, or copies them to a file.
//
// After a wrong deployment or a wrong write key the question is "can we send Tuesday again?". A
// replay reads the archive's objects in their order, takes the events that a [Selection] means,
// each once, and sends them to the bulk queue as messages like any other, so that fresh events go
// first.
//
// It counts before it sends, with the code that sends: what [Count] says is what [Run] sends. After
// each load it writes a checkpoint, so that a replay that was killed goes on where it was. Only the
// events between the last checkpoint and its end are sent twice, with the same messageIds, so that
// Segment drops the repetitions.
package replay
