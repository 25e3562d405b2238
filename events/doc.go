// Package events holds sample events, to read and to send by hand. Each is what a person, an SDK or
// Lambda really writes, which a test checks.
//
//	track.json, identify.json  a single event each
//	batch.json                 a batch with its write key and context
//	events.ndjson              an event a line, for spillway send
//	sqs-event.json             an invocation of the deliver function by Lambda
//	sqs-event-packed.json      the same, with one message of 50 events as Spillway packs them
//	http/                      requests to the ingest endpoint: see its README.md
//
// Send the first three to a queue with
//
//	aws sqs send-message --queue-url … --message-body file://events/track.json
//
// and invoke the deliver function with
//
//	aws lambda invoke … --payload file://events/sqs-event.json
package events
