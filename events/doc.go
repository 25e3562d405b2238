// Package events holds sample events, to send by hand and to read: each is what a person, an SDK or
// Lambda really writes, and a test keeps them so.
//
//	track.json, identify.json  a single event each: aws sqs send-message … --message-body file://events/track.json
//	batch.json                 a batch with its write key and context, sent in the same way
//	sqs-event.json             what Lambda hands to the deliver function: aws lambda invoke … --payload file://events/sqs-event.json
//	sqs-event-packed.json      the same with one message of 50 events as Spillway packs them
package events
