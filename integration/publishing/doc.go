// Package publishing measures the publisher against the local queue: how many events a second it
// brings there, and how much memory a process takes while the queue is away.
package publishing
