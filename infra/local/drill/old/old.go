// Package old is a model of the design that failed on 24 September 2018: an API kept a job for each
// event in a Redis of bounded memory, and workers held each job open until a buffering Segment client
// had sent it. The package says what the same day would have been in that design.
package old

import "time"

// A Parameter is a number that a result depends on, with where it is from.
type Parameter struct {
	Name   string `json:"name"`
	Value  string `json:"value"`  // with its unit
	Source string `json:"source"` // a sentence
}

// A Day is what became of a time's events in the design that failed.
type Day struct {
	Parameters []Parameter `json:"parameters"`
	BoundBytes float64     `json:"boundBytes"` // memory of Redis that jobs may take
	BoundJobs  int64       `json:"boundJobs"`  // how many fit

	Jobs    []float64 `json:"jobs"`    // in Redis at each minute's end
	Bytes   []float64 `json:"bytes"`   // that they take
	Refused []float64 `json:"refused"` // jobs that found no place in the minute

	FullAt      *time.Time `json:"fullAt"`      // when no further job found a place; null: never
	Stops       []Stop     `json:"stops"`       // when the API did not work
	DownSeconds float64    `json:"downSeconds"` // of all stops
	DrainedAt   *time.Time `json:"drainedAt"`   // when what had gathered was sent; null: nothing gathered, or it is there still

	Accepted     int64 `json:"accepted"`
	Delivered    int64 `json:"delivered"`
	Waiting      int64 `json:"waiting"`      // at the end
	RefusedTotal int64 `json:"refusedTotal"` // events that are lost with the requests that made them
}

// A Stop is a time during which the API refused most requests.
type Stop struct {
	From time.Time  `json:"from"`
	To   *time.Time `json:"to"` // null: it lasted to the end
}
