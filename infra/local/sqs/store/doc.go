// Package store is the storage of the SQS emulator: a log of messages in files, and where they are
// in memory.
//
// It is a log of its own and no database, because messages are written once, read once in about the
// order in which they were written, and deleted. Before, it was Pebble, a store of sorted keys, and
// an experimental option of it for large values. A damaged file of that made the process panic at
// each start, a flipped bit at the end of its log cut off thousands of acknowledged messages
// without a word, a full disk at the start made it retry without end, and it ends the process where
// it can't go on. It brought 30 modules, two of them abandoned, and 9 MB of the program. bbolt, the
// other candidate, has no checksums of data, never shrinks its file, and takes 346 MB for what
// needs 90 here. Measured on two shared cores with a message of 1 KB, batches of ten and 16 senders
// that wait for the disk (Pebble in parentheses): 26 µs of CPU a message sent (27), 28 µs received
// and deleted (34), 15,000 to 18,000 sent a second (18,000), and a million messages wait with 104
// MB of memory (2), which is the price.
//
// # Files
//
// The log is files of 16 MB, the segments NUMBER-SALT.log, of frames (package frame). A frame is
// written and read as a whole, and has operations:
//
//	p  a message: its number, what a queue needs to know of it, and its content; the first of its frame
//	d  the deletion of a message
//	u  a message that is visible again, with its receive count
//	c  the deletion of all messages of a queue
//	s  a value of the state (a queue, a move task), f  its deletion
//	b  the beginning of a segment, twice, with the state, so that one damage does not cost it
//	o  which segment is the oldest
//
// Open reads all of it, so that damage is found before anything depends on it. Each process begins
// a segment of its own.
//
// Files are removed at the beginning only. The oldest segment is removed when all of its messages
// are deleted; if the log is more than twice as large as its messages, those that the oldest
// segment has are copied to the end. So a deletion is never removed before its message.
//
// Others are emptied: messages that are retried for days write an update with each receive, and
// while they are there nothing after them can be removed. Where segments without messages have four
// times as much as that takes, the last update of each message and the deletions of the others are
// written again, and these segments are cut down to their beginnings. They are NUMBER-SALT.emptied
// then, and say which message would have been their first.
//
// Messages are numbered without gaps, also when they are copied, and each frame says which number
// is next. So the numbers that are missing say how many messages were lost, whatever the damage is,
// and the deletions of missing numbers say how many of those had been delivered before. The file
// END says which segment is the newest, and after an orderly end the last number too. After a kill
// nobody can tell a last frame that was cut short from one that was never acknowledged.
//
// # A full disk
//
// A write that fails is undone, and its sender gets the error. Deletes and visibility changes do
// not fail: they apply in memory, and are written when there is room. A segment whose messages are
// all deleted is emptied even if the log can't say so, and so is the only one up to its state,
// which makes the room. After a failed sync nothing more is written, because it is not known what
// is on disk.
package store
