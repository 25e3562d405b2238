// Package publishing measures the publisher against the SQS emulator: how many events a second it
// sends there, and how much memory a process takes while the queue is down.
package publishing
