package console

// A Story is what is known of the events that were looked for.
type Story struct {
	Query string
}
