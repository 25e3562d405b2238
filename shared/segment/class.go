package segment

// A Class is the kind of Segment's answer, or of a failure to get one.
type Class uint8

// The classes.
const (
	Delivered     Class = iota // Segment has the events
	Rejected                   // Segment says that these bytes are wrong
	Misconfigured              // the write key, the endpoint or something between is wrong, not the events
	Throttled                  // Segment asks to be called later
	Transient                  // Segment is down, or can't be reached
	classes
)

var classNames = [classes]string{
	Delivered: "delivered", Rejected: "rejected", Misconfigured: "misconfigured", Throttled: "throttled",
	Transient: "transient",
}

// String is the class's name in metrics and logs.
func (c Class) String() string { return classNames[c] }

// Classes returns all classes.
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
	{300, 399, Misconfigured}, // not followed: the 200 of a login page after a redirect is not a delivery
	{400, 400, Rejected},
	{413, 413, Rejected},
	{408, 408, Transient},
	{429, 429, Throttled},
	{401, 499, Misconfigured}, // 401, 403, 404 and every other 4xx
	{500, 599, Transient},
}

// Classify returns the class of an HTTP status. A status that HTTP does not define is
// Misconfigured, because it is not from Segment's API.
func Classify(status int) Class {
	for _, a := range answers {
		if a.from <= status && status <= a.to {
			return a.class
		}
	}
	return Misconfigured
}
