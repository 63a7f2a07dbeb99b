{{/* interLink's API server: what is the same whether it is an init container or not. */}}
{{- define "remote-slurm.interlink" -}}
image: {{ include "remote-slurm.image" .Values.interlink.image }}
imagePullPolicy: {{ .Values.imagePullPolicy }}
securityContext:
  {{- include "remote-slurm.securityContext" (list . 65532) | nindent 2 }}
env:
  - name: INTERLINKCONFIGPATH
    value: /etc/interlink/InterLinkConfig.yaml
resources:
  {{- toYaml .Values.interlink.resources | nindent 2 }}
volumeMounts:
  - name: config
    mountPath: /etc/interlink/InterLinkConfig.yaml
    subPath: InterLinkConfig.yaml
    readOnly: true
  - name: interlink-tmp
    mountPath: /tmp
{{- end }}
