// Package contents reads what is in a pipeline's queues for the operator's page: the dead letters,
// and where an event is.
//
// A page of dead letters must be fast with 100,000 of them, and must not disturb: so an [index] in
// memory has what they are counted and selected by, and nothing of their content. [Local] fills it
// by looking at the queue of the SQS emulator, when somebody opens the page, and follows the queue
// from then on. [Deployed] fills it by receiving the messages of a queue on AWS, when somebody asks
// for it.
//
// Sending dead letters again and deleting them is that of package deadletter, so that nothing is
// lost whatever happens.
package contents
