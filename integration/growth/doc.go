// Package growth proves that an event costs the same however many there are: however long events
// come in, from however many write keys, and however large the backlog is in which they wait.
//
// In virtual time, with the topology's numbers, a thousand write keys send for an hour, and 120,000
// messages, as many as SQS lets be in flight, are retried for a day. In real time the built program
// takes a backlog, is started on it again, and drains it. By default each is a small sample; flags
// make it whole, and say in the log what each part of it took. All of it is in the tests.
package growth
