package event

// Origin says who made an event, which decides by which path it goes on.
type Origin uint8

const (
	// FromServer is the SDKs that run on servers. Segment reserves /v1/batch for them. The zero
	// value.
	FromServer Origin = iota
	// FromClient is browsers and phones: their events go on to /v1/b, as their own SDKs send them.
	FromClient
)

// String is the name that stands in a queue message.
func (o Origin) String() string {
	if o == FromClient {
		return "client"
	}
	return "server"
}

// ParseOrigin reads what [Origin.String] wrote. Anything else is no origin: ok is false.
func ParseOrigin(text string) (o Origin, ok bool) {
	switch text {
	case "client":
		return FromClient, true
	case "server":
		return FromServer, true
	}
	return FromServer, false
}
