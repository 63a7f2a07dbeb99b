{{/* Name of all objects: the release's, which is short enough for a label. */}}
{{- define "remote-slurm.name" -}}
{{- .Release.Name | trunc 53 | trimSuffix "-" }}
{{- end }}

{{/* Name of objects that belong to no namespace. */}}
{{- define "remote-slurm.clusterName" -}}
{{- printf "%s-%s" .Release.Namespace (include "remote-slurm.name" .) }}
{{- end }}

{{- define "remote-slurm.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "remote-slurm.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{ include "remote-slurm.selector" . }}
{{- end }}

{{/* An image, which is the same tomorrow. */}}
{{- define "remote-slurm.image" -}}
{{- if hasSuffix ":latest" . }}
{{- fail (printf "image %s: must have a version or a digest, not latest" .) }}
{{- end }}
{{- . }}
{{- end }}

{{/* `config` as a mapping, without what the chart sets. */}}
{{- define "remote-slurm.givenConfig" -}}
{{- $config := .Values.config }}
{{- if kindIs "string" $config }}
{{- $config = fromYaml $config }}
{{- if $config.Error }}
{{- fail (printf "config is no YAML mapping: %s" $config.Error) }}
{{- end }}
{{- end }}
{{- toYaml $config }}
{{- end }}

{{/* SlurmConfig.yaml. */}}
{{- define "remote-slurm.config" -}}
{{- $given := include "remote-slurm.givenConfig" . | fromYaml }}
{{- if not (and (kindIs "map" $given.SSH) $given.SSH.HostName $given.SSH.User) }}
{{- fail "config.SSH.HostName and config.SSH.User are required: see examples/kubernetes/values.yaml" }}
{{- end }}
{{- $files := "/etc/interlink/ssh" }}
{{- $ssh := dict "IdentityFile" (printf "%s/%s" $files .Values.ssh.identityFile) "UserKnownHostsFile" (printf "%s/%s" $files .Values.ssh.knownHostsFile) }}
{{- $own := dict "SSH" $ssh "BindAddress" "127.0.0.1" "SidecarPort" 4000 "StateFolder" "/var/lib/remote-slurm" }}
{{- toYaml (mergeOverwrite $given $own) }}
{{- end }}

{{/* Not empty if the sidecar uses the service account of its pod. */}}
{{- define "remote-slurm.inCluster" -}}
{{- $given := include "remote-slurm.givenConfig" . | fromYaml }}
{{- if eq (toString $given.CUSTOMKUBECONF) "in-cluster" }}true{{ end }}
{{- end }}

{{/* Configuration of the Virtual Kubelet. */}}
{{- define "remote-slurm.virtualKubeletConfig" -}}
{{- $capacity := .Values.virtualKubelet.capacity }}
{{- $resources := dict "CPU" (toString $capacity.cpu) "Memory" (toString $capacity.memory) "Pods" (toString $capacity.pods) "Accelerators" $capacity.accelerators }}
{{- $own := dict "InterlinkURL" "http://127.0.0.1" "InterlinkPort" "3000" "SkipDownwardAPIResolution" true "Resources" $resources }}
{{- toYaml (mergeOverwrite $own (deepCopy .Values.virtualKubelet.config)) }}
{{- end }}

{{/* Configuration of interLink's API server: on the loopback of the pod if the Virtual Kubelet is there too. */}}
{{- define "remote-slurm.interlinkConfig" -}}
InterlinkAddress: http://{{ .Values.virtualKubelet.enabled | ternary "127.0.0.1" "0.0.0.0" }}
InterlinkPort: "3000"
SidecarURL: http://127.0.0.1
SidecarPort: "4000"
DataRootFolder: /tmp/interlink
{{- end }}

{{/* Of a container with its own user: list CONTEXT USER. */}}
{{- define "remote-slurm.securityContext" -}}
runAsNonRoot: true
{{- if (index . 0).Values.setUserIds }}
runAsUser: {{ index . 1 }}
runAsGroup: {{ index . 1 }}
{{- end }}
readOnlyRootFilesystem: true
allowPrivilegeEscalation: false
capabilities:
  drop: [ALL]
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{/* What Kubernetes mounts by itself if automountServiceAccountToken is true, for one container only. */}}
{{- define "remote-slurm.tokenMount" -}}
- name: service-account
  mountPath: /var/run/secrets/kubernetes.io/serviceaccount
  readOnly: true
{{- end }}
