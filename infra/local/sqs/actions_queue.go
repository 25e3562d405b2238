package sqs

import (
	"encoding/base64"
	"maps"
	"slices"
	"strconv"
	"time"
)

// actionTable is every action that this endpoint knows.
func (s *Server) actionTable() map[string]action {
	return map[string]action{
		"CreateQueue":                decoded(s.createQueueAction),
		"DeleteQueue":                onQueue(s, s.deleteQueueAction),
		"GetQueueAttributes":         onQueue(s, getQueueAttributes),
		"GetQueueUrl":                decoded(s.getQueueURL),
		"ListDeadLetterSourceQueues": onQueue(s, s.listSources),
		"ListQueueTags":              onQueue(s, listQueueTags),
		"ListQueues":                 decoded(s.listQueues),
		"PurgeQueue":                 onQueue(s, purgeQueue),
		"SetQueueAttributes":         onQueue(s, setQueueAttributes),
		"TagQueue":                   onQueue(s, tagQueue),
		"UntagQueue":                 onQueue(s, untagQueue),

		"ChangeMessageVisibility":      onQueue(s, changeMessageVisibility),
		"ChangeMessageVisibilityBatch": onQueue(s, changeMessageVisibilityBatch),
		"DeleteMessage":                onQueue(s, deleteMessage),
		"DeleteMessageBatch":           onQueue(s, deleteMessageBatch),
		"ReceiveMessage":               s.receiveMessage,
		"SendMessage":                  onQueue(s, sendMessage),
		"SendMessageBatch":             onQueue(s, sendMessageBatch),

		"CancelMessageMoveTask": decoded(s.cancelMessageMoveTask),
		"ListMessageMoveTasks":  decoded(s.listMessageMoveTasks),
		"StartMessageMoveTask":  decoded(s.startMessageMoveTask),

		"AddPermission":    unsupported("AddPermission"),
		"RemovePermission": unsupported("RemovePermission"),
	}
}

func unsupported(name string) action {
	return func(call, []byte) (any, func(), error) {
		return nil, nil, errUnsupported("%s is not supported by this endpoint: it has no permissions.", name)
	}
}

// decoded makes an action of a function of the decoded request.
func decoded[T any](f func(call, *T) (any, error)) action {
	return func(c call, body []byte) (any, func(), error) {
		var in T
		if err := decode(body, &in); err != nil {
			return nil, nil, err
		}
		out, err := f(c, &in)
		return out, nil, err
	}
}

// queueURL is embedded in the requests that name a queue.
type queueURL struct{ QueueUrl string }

func (u queueURL) url() string { return u.QueueUrl }

// onQueue does the same for a request that names a queue.
func onQueue[T interface{ url() string }](s *Server, f func(call, *Queue, *T) (any, error)) action {
	return decoded(func(c call, in *T) (any, error) {
		q, err := s.byURL((*in).url())
		if err != nil {
			return nil, err
		}
		return f(c, q, in)
	})
}

type createQueueInput struct {
	QueueName  string
	Attributes map[string]string
	Tags       map[string]string `json:"tags"`
}

type queueURLOutput struct{ QueueUrl string }

func (s *Server) createQueueAction(c call, in *createQueueInput) (any, error) {
	if in.QueueName == "" {
		return nil, errMissingParameter("QueueName")
	}
	if err := checkTags(in.Tags); err != nil {
		return nil, err
	}
	q, created, err := s.createQueue(in.QueueName, in.Attributes, in.Tags)
	if err != nil {
		return nil, err
	}
	if !created {
		want, err := (*settings)(nil).apply(in.Attributes)
		if err != nil {
			return nil, err
		}
		if name, differ := q.settings.Load().differs(want, slices.Collect(maps.Keys(in.Attributes))); differ {
			return nil, errQueueExists(name)
		}
	}
	return queueURLOutput{s.urlOf(c.host, q.name)}, nil
}

type deleteQueueInput struct{ queueURL }

func (s *Server) deleteQueueAction(_ call, q *Queue, _ *deleteQueueInput) (any, error) {
	return nil, s.deleteQueue(q)
}

type purgeQueueInput struct{ queueURL }

func purgeQueue(_ call, q *Queue, _ *purgeQueueInput) (any, error) { return nil, q.purge() }

type getQueueURLInput struct{ QueueName string }

func (s *Server) getQueueURL(c call, in *getQueueURLInput) (any, error) {
	if in.QueueName == "" {
		return nil, errMissingParameter("QueueName")
	}
	q, ok := s.Queue(in.QueueName)
	if !ok {
		return nil, errNoSuchQueue()
	}
	return queueURLOutput{s.urlOf(c.host, q.name)}, nil
}

type getQueueAttributesInput struct {
	queueURL
	AttributeNames []string
}

type attributesOutput struct {
	Attributes map[string]string `json:",omitempty"`
}

func getQueueAttributes(_ call, q *Queue, in *getQueueAttributesInput) (any, error) {
	vs := q.attributes()
	if slices.Contains(in.AttributeNames, "All") {
		return attributesOutput{vs}, nil
	}
	out := map[string]string{}
	for _, name := range in.AttributeNames {
		v, ok := vs[name]
		switch {
		case ok:
			out[name] = v
		case optionalAttribute(name):
		default:
			return nil, errInvalidAttributeName(name)
		}
	}
	return attributesOutput{out}, nil
}

// optionalAttribute names attributes that SQS knows and a queue may not have.
func optionalAttribute(name string) bool {
	return name == "RedrivePolicy" || name == "RedriveAllowPolicy" || name == "KmsDataKeyReusePeriodSeconds" ||
		textAttribute(name) || fifoAttribute(name)
}

// attributes are all that GetQueueAttributes answers.
func (q *Queue) attributes() map[string]string {
	vs := q.settings.Load().values()
	q.mu.Lock()
	now := time.Now().UnixMilli()
	// What could not be returned stays in flight; the store says why.
	_ = q.returnExpired(now)
	visible, inFlight, delayed := q.counts(now)
	modified := q.modified
	q.mu.Unlock()
	vs["QueueArn"] = q.ARN()
	vs["CreatedTimestamp"] = strconv.FormatInt(q.created, 10)
	vs["LastModifiedTimestamp"] = strconv.FormatInt(modified, 10)
	vs["ApproximateNumberOfMessages"] = strconv.FormatInt(visible, 10)
	vs["ApproximateNumberOfMessagesNotVisible"] = strconv.FormatInt(inFlight, 10)
	vs["ApproximateNumberOfMessagesDelayed"] = strconv.FormatInt(delayed, 10)
	return vs
}

type setQueueAttributesInput struct {
	queueURL
	Attributes map[string]string
}

func setQueueAttributes(_ call, q *Queue, in *setQueueAttributesInput) (any, error) {
	if len(in.Attributes) == 0 {
		return nil, errMissingParameter("Attribute.Name")
	}
	return nil, q.setAttributes(in.Attributes)
}

type page struct {
	MaxResults *int
	NextToken  string
}

// cut returns the part of the names that p asks for, and the token for the
// next. Without MaxResults it is at most 1,000 names and no token, as in SQS.
func (p page) cut(names []string) ([]string, string, error) {
	limit := 1000
	if p.MaxResults != nil {
		if *p.MaxResults < 1 || *p.MaxResults > 1000 {
			return nil, "", errInvalidParameter("Value %d for parameter MaxResults is invalid. Reason: Must be between 1 "+
				"and 1000.", *p.MaxResults)
		}
		limit = *p.MaxResults
	}
	if p.NextToken != "" {
		after, err := base64.StdEncoding.DecodeString(p.NextToken)
		if err != nil {
			return nil, "", errInvalidParameter("Invalid or expired next token.")
		}
		i, found := slices.BinarySearch(names, string(after))
		if found {
			i++
		}
		names = names[i:]
	}
	if len(names) <= limit {
		return names, "", nil
	}
	names = names[:limit]
	if p.MaxResults == nil {
		return names, "", nil
	}
	return names, base64.StdEncoding.EncodeToString([]byte(names[limit-1])), nil
}

type listQueuesInput struct {
	page
	QueueNamePrefix string
}

type listQueuesOutput struct {
	QueueUrls []string `json:",omitempty"`
	NextToken string   `json:",omitempty"`
}

func (s *Server) listQueues(c call, in *listQueuesInput) (any, error) {
	var names []string
	for _, q := range s.queueList(in.QueueNamePrefix) {
		names = append(names, q.name)
	}
	names, token, err := in.cut(names)
	return listQueuesOutput{s.urls(c, names), token}, err
}

func (s *Server) urls(c call, names []string) []string {
	urls := make([]string, len(names))
	for i, n := range names {
		urls[i] = s.urlOf(c.host, n)
	}
	return urls
}

type listSourcesInput struct {
	queueURL
	page
}

type listSourcesOutput struct {
	QueueUrls []string `json:"queueUrls"` // in lower case, alone among the actions
	NextToken string   `json:",omitempty"`
}

func (s *Server) listSources(c call, q *Queue, in *listSourcesInput) (any, error) {
	var names []string
	for _, source := range s.sourcesOf(q) {
		names = append(names, source.name)
	}
	names, token, err := in.cut(names)
	return listSourcesOutput{s.urls(c, names), token}, err
}

// sourcesOf returns the queues that have q as their dead-letter queue.
func (s *Server) sourcesOf(q *Queue) []*Queue {
	return slices.DeleteFunc(s.queueList(""), func(o *Queue) bool {
		d, _ := o.deadLetterQueue()
		return d != q
	})
}

type tagQueueInput struct {
	queueURL
	Tags map[string]string
}

const maxTags = 50

func checkTags(tags map[string]string) error {
	if len(tags) > maxTags {
		return errInvalidParameter("Too many tags added for queue: %d, the maximum is %d.", len(tags), maxTags)
	}
	for k, v := range tags {
		if k == "" || len(k) > 128 || len(v) > 256 {
			return errInvalidParameter("Tag keys must be between 1 and 128 characters in length, values up to 256.")
		}
	}
	return nil
}

func tagQueue(_ call, q *Queue, in *tagQueueInput) (any, error) {
	if len(in.Tags) == 0 {
		return nil, errMissingParameter("Tags")
	}
	return nil, q.setTags(func(tags map[string]string) error {
		maps.Copy(tags, in.Tags)
		return checkTags(tags)
	})
}

type untagQueueInput struct {
	queueURL
	TagKeys []string
}

func untagQueue(_ call, q *Queue, in *untagQueueInput) (any, error) {
	if len(in.TagKeys) == 0 {
		return nil, errMissingParameter("TagKeys")
	}
	return nil, q.setTags(func(tags map[string]string) error {
		for _, k := range in.TagKeys {
			delete(tags, k)
		}
		return nil
	})
}

type listQueueTagsInput struct{ queueURL }

type tagsOutput struct {
	Tags map[string]string `json:",omitempty"`
}

func listQueueTags(_ call, q *Queue, _ *listQueueTagsInput) (any, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return tagsOutput{maps.Clone(q.tags)}, nil
}
