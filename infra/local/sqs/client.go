package sqs

import (
	"net/http"

	"github.com/spillwayhq/spillway/infra/local/direct"
)

// HTTPClient returns a client whose requests go straight to ServeHTTP, without a socket and whatever
// their host, for an aws-sdk-go-v2 client in the same process: see package direct.
func (s *Server) HTTPClient() *http.Client { return direct.Client(s) }
