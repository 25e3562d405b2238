package codedeploy

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

// The operations that the API has (CodeDeploy API reference).
const (
	putStatus     = "CodeDeploy_20141006.PutLifecycleEventHookExecutionStatus"
	getDeployment = "CodeDeploy_20141006.GetDeployment"
)

// maxBody is more than a call of a hook has, in bytes.
const maxBody = 64 << 10

// ServeHTTP implements http.Handler: it answers what hooks call, and nothing else of CodeDeploy.
// Requests are not authenticated.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	target := r.Header.Get("X-Amz-Target")
	if r.Method != http.MethodPost || target != putStatus && target != getDeployment {
		refuse(w, "UnknownOperationException", fmt.Sprintf("%q is not emulated", target))
		return
	}
	var in struct {
		DeploymentID string `json:"deploymentId"`
		ExecutionID  string `json:"lifecycleEventHookExecutionId"`
		Status       string `json:"status"`
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	if err == nil {
		err = json.Unmarshal(body, &in)
	}
	if err != nil {
		refuse(w, "SerializationException", err.Error())
		return
	}
	if target == getDeployment {
		s.get(w, in.DeploymentID)
		return
	}
	if kind, message := s.say(in.DeploymentID, in.ExecutionID, in.Status); kind != "" {
		refuse(w, kind, message)
		return
	}
	answer(w, http.StatusOK, map[string]string{"lifecycleEventHookExecutionId": in.ExecutionID})
}

// get answers what is known of a deployment that is under way. None here is itself a way back.
func (s *Service) get(w http.ResponseWriter, id string) {
	s.mu.Lock()
	running := s.running[id]
	s.mu.Unlock()
	if !running {
		refuse(w, "DeploymentDoesNotExistException", "the deployment "+id+" does not exist, or has ended")
		return
	}
	answer(w, http.StatusOK, map[string]any{"deploymentInfo": map[string]any{
		"deploymentId": id, "status": "InProgress", "creator": "CloudFormation"}})
}

// say hands a hook's status to its deployment, or returns the name and text of an error.
func (s *Service) say(deployment, id, status string) (kind, message string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.waiting[id]
	switch {
	case deployment == "":
		return "DeploymentIdRequiredException", "the deployment's ID is missing"
	case ok && e.deployment != deployment:
		return "DeploymentDoesNotExistException", "the deployment " + deployment + " does not exist, or has no such hook"
	case !ok:
		return "InvalidLifecycleEventHookExecutionIdException", "no hook is executed as " + id
	case status != string(Succeeded) && status != string(Failed):
		return "InvalidLifecycleEventHookExecutionStatusException", "the status must be Succeeded or Failed, is " + status
	case e.answered:
		return "LifecycleEventAlreadyCompletedException", "the hook has said how it is before"
	}
	e.answered = true
	e.said <- status
	return "", ""
}

func refuse(w http.ResponseWriter, kind, message string) {
	answer(w, http.StatusBadRequest, map[string]string{"__type": kind, "message": message})
}

func answer(w http.ResponseWriter, status int, body any) {
	text, _ := json.Marshal(body) // maps of strings can always be marshalled
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.WriteHeader(status)
	_, _ = w.Write(text)
}
