package machine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/infra/local/sqs"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/integration/peers/peer"
	"github.com/spillwayhq/spillway/shared/message"
)

// QueueConfig configures the process of the SQS emulator.
type QueueConfig struct {
	Dir string // of what is in the queues
	// Visibility is the visibility timeout of the events queue; 0: that of Spillway's deployment.
	Visibility time.Duration
	// Function is run by the Lambda emulator on what comes to the events queue; nil: none is. It
	// begins with StartFunction.
	Function *peer.Function
	Name     string // of the peer whose function it is
	Binary   string // path of the function's binary
	Segment  string // URL for the function
}

// QueueURL is the URL of Spillway's events queue, which the peers on SQS use as well, at an
// endpoint of the SQS emulator.
func QueueURL(endpoint string) string {
	return local.QueueURL(endpoint, topology.DefaultNames().EventsQueue)
}

// QueueState is what the process of the SQS emulator has done.
type QueueState struct {
	Backlog int64 // messages: visible, in flight and delayed
	// Requests are those that SQS would charge for: each 64 KiB of a request or an answer is one.
	Requests int64
	Function FunctionState
}

// The paths of the queue's process besides SQS's own.
const (
	statePath = "/_peers/state"
	startPath = "/_peers/start"
	killPath  = "/_peers/kill"
)

// ServeQueue serves the SQS emulator with Spillway's queues on a free port until ctx ends. It is
// the subcommand `queue`.
func ServeQueue(ctx context.Context, out io.Writer, c QueueConfig) (err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen for the SQS emulator: %w", err)
	}
	endpoint := "http://" + l.Addr().String()
	server, err := sqs.Open(sqs.Options{Dir: c.Dir, CountAttribute: message.AttrEventCount})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	t := topology.Default()
	if err := local.CreateQueues(server, &t); err != nil {
		return err
	}
	if c.Visibility > 0 {
		client := local.Client(endpoint, func(o *awssqs.Options) { o.HTTPClient = server.HTTPClient() })
		if _, err := client.SetQueueAttributes(ctx, &awssqs.SetQueueAttributesInput{QueueUrl: aws.String(QueueURL(endpoint)),
			Attributes: map[string]string{"VisibilityTimeout": strconv.Itoa(int(c.Visibility.Seconds()))}}); err != nil {
			return fmt.Errorf("shorten the visibility timeout: %w", err)
		}
	}
	events, _ := server.Queue(t.Names.EventsQueue)
	q := &queueServer{server: server, events: events}
	if c.Function != nil {
		if q.host, err = newHost(c, endpoint, meter{local.Feed(events), &q.requests}); err != nil {
			return err
		}
		defer q.host.close()
	}
	return q.serve(ctx, l, out)
}

// queueServer is the process of the SQS emulator.
type queueServer struct {
	server   *sqs.Server
	events   *sqs.Queue
	requests atomic.Int64
	host     *host // nil: no function runs
}

func (q *queueServer) serve(ctx context.Context, l net.Listener, out io.Writer) error {
	mux := http.NewServeMux()
	mux.HandleFunc("/", q.serveSQS)
	mux.HandleFunc("GET "+statePath, func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, q.state()) })
	if q.host != nil {
		mux.HandleFunc("POST "+startPath, func(w http.ResponseWriter, _ *http.Request) {
			q.host.start(ctx)
			writeJSON(w, struct{}{})
		})
		mux.HandleFunc("POST "+killPath, func(w http.ResponseWriter, _ *http.Request) {
			writeJSON(w, q.host.kill())
		})
	}
	s := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		<-ctx.Done()
		_ = s.Close() // a long poll would hold a shutdown for 20 s
	}()
	fmt.Fprintf(out, "%shttp://%s\n", Listens, l.Addr())
	if err := s.Serve(l); ctx.Err() == nil {
		return fmt.Errorf("serve SQS: %w", err)
	}
	return nil
}

func (q *queueServer) state() QueueState {
	stats := q.events.Stats()
	s := QueueState{Backlog: stats.Visible + stats.InFlight + stats.Delayed, Requests: q.requests.Load()}
	if q.host != nil {
		s.Function = q.host.state()
	}
	return s
}

// serveSQS answers SQS's API and counts what it would charge for.
func (q *queueServer) serveSQS(w http.ResponseWriter, r *http.Request) {
	counted := &counter{ResponseWriter: w}
	q.server.ServeHTTP(counted, r)
	q.requests.Add(charged(max(r.ContentLength, counted.n)))
}

// chargedBytes is what SQS counts as one request (its price list).
const chargedBytes = 64 << 10

func charged(bytes int64) int64 { return max(1, (bytes+chargedBytes-1)/chargedBytes) }

type counter struct {
	http.ResponseWriter
	n int64
}

// Write implements io.Writer.
func (c *counter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return c.ResponseWriter.Write(p)
}

// StartQueue starts the SQS emulator as a process, with its data in dir and further flags.
func StartQueue(ctx context.Context, dir string, flags ...string) (*Process, error) {
	return Start(ctx, append([]string{"queue", "--dir=" + dir}, flags...)...)
}

// StateOf asks the process of the SQS emulator at a URL.
func StateOf(ctx context.Context, url string) (s QueueState, err error) {
	return s, call(ctx, http.MethodGet, url+statePath, nil, &s)
}

// StartFunction lets the event source mapping at a URL begin.
func StartFunction(ctx context.Context, url string) error {
	return call(ctx, http.MethodPost, url+startPath, nil, nil)
}

// KillFunction kills all environments of the function at a URL (SIGKILL), and returns how many. The
// event source mapping makes new ones.
func KillFunction(ctx context.Context, url string) (killed int, err error) {
	return killed, call(ctx, http.MethodPost, url+killPath, nil, &killed)
}
