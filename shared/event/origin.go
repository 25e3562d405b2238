package event

// Origin says who sent an event, which decides the path on which it is sent to Segment.
type Origin uint8

const (
	// FromServer is the zero value: an SDK that runs on a server: Segment reserves /v1/batch for
	// them.
	FromServer Origin = iota
	// FromClient is a browser or a phone: its events are sent to /v1/b, as its own SDK does.
	FromClient
)

// String returns the name that a queue message holds: "client" or "server".
func (o Origin) String() string {
	if o == FromClient {
		return "client"
	}
	return "server"
}

// ParseOrigin reads what [Origin.String] wrote; ok is false for anything else.
func ParseOrigin(text string) (o Origin, ok bool) {
	switch text {
	case "client":
		return FromClient, true
	case "server":
		return FromServer, true
	}
	return FromServer, false
}
