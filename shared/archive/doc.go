// Package archive is the format of the archive: every event that has ended, with its outcome, which
// is delivered or a dead letter.
//
// After a wrong deployment or a wrong write key the question is "can we send Tuesday again?". So
// deliver writes what it has sent, as Segment got it, before it deletes the message, and replay,
// why and forget read it. The format is what other tools read too: objects of zstd frames, which
// zstdcat reads, of lines of JSON, which jq and Athena read. docs/archive.md describes it.
//
// A [Record] is one line. A [Packer] makes lines into frames, each of which is whole lines and fits
// one record of Firehose and one message of SQS. An [Appender] takes frames; a [Store] has the
// objects in which they end up; a [Reader] reads one object frame by frame, so that damage costs
// only the frame that it hits. Package dirstore is both in a directory, s3store and firehose are
// the two on AWS; storetest has the tests that each must pass.
package archive
