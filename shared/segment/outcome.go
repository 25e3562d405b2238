package segment

// A Class is what an answer of Segment, or the lack of one, means.
type Class uint8

// The classes. Their order is that of the table below.
const (
	Delivered     Class = iota // Segment has the events
	Rejected                   // Segment says that these bytes are wrong
	Misconfigured              // not the events are wrong but the write key, the endpoint, or what stands between
	Throttled                  // Segment wants to be asked later
	Transient                  // Segment is down, or can't be reached
	Unreadable                 // never sent: nobody could read it
	Expired                    // never delivered in the time that we try
	classes
)

// A Fate is what becomes of an event.
type Fate uint8

// The fates. There is no fourth: an event that is neither delivered nor a dead letter is still in
// the queue.
const (
	Deliver Fate = iota // it has arrived; its message is deleted
	// it is written to the dead-letter queue with the reason; its message is deleted once all of
	// its events are final
	DeadLetter
	Stay // its message is hidden for a while and comes again
)

// An Outcome is one row of the table that says what follows from a class.
type Outcome struct {
	Class Class
	Name  string // as in metrics, logs and dead letters
	Fate  Fate   // of an event that stands alone in its batch
	// Split: a batch of several events is halved and sent again, to find the one that the answer is
	// about.
	Split bool
	// PausesWriteKey: the batch's write key is not sent with for a while; nobody else waits.
	PausesWriteKey bool
	// Again: worth a second try at once, in the same invocation.
	Again bool
	// Breaker: says something about Segment itself, and not about one batch or one key, so that a
	// circuit breaker may count it.
	Breaker bool
}

// outcomes is the one place that knows what becomes of an event: deliver, metrics, alarms and
// documents read it.
var outcomes = [classes]Outcome{
	{Class: Delivered, Name: "delivered", Fate: Deliver},
	{Class: Rejected, Name: "rejected", Fate: DeadLetter, Split: true},
	{Class: Misconfigured, Name: "misconfigured", Fate: Stay, PausesWriteKey: true},
	{Class: Throttled, Name: "throttled", Fate: Stay, PausesWriteKey: true},
	{Class: Transient, Name: "transient", Fate: Stay, Again: true, Breaker: true},
	{Class: Unreadable, Name: "unreadable", Fate: DeadLetter},
	{Class: Expired, Name: "expired", Fate: DeadLetter},
}

// Outcome is the table's row for the class.
func (c Class) Outcome() Outcome { return outcomes[c] }

// String is the class's name as in metrics, logs and dead letters.
func (c Class) String() string { return outcomes[c].Name }

// Classes are all classes in the table's order.
func Classes() []Class {
	all := make([]Class, classes)
	for i := range all {
		all[i] = Class(i)
	}
	return all
}

// answers maps a status to its class; the first row that holds the status wins.
var answers = [...]struct {
	from, to int
	class    Class
}{
	{200, 299, Delivered},
	{300, 399, Misconfigured}, // never followed: the 200 of a login page behind a redirect is no delivery
	{400, 400, Rejected},
	{413, 413, Rejected},
	{408, 408, Transient},
	{429, 429, Throttled},
	{401, 499, Misconfigured}, // 401, 403, 404 and every other 4xx
	{500, 599, Transient},
}

// Classify tells what an HTTP status of Segment means. It is total: a status that HTTP does not
// know comes from something that is not Segment's API, and is Misconfigured.
func Classify(status int) Class {
	for _, a := range answers {
		if a.from <= status && status <= a.to {
			return a.class
		}
	}
	return Misconfigured
}
